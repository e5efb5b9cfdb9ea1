"""What all experiments share: options, the runner, output folders, tables, publishing."""
