"""The framework of all experiments: options, runner, output folders, tables, publishing."""
