"""What everything else stands on: argument checks, autodiff, seeds, fingerprints, checkpoints, processes, compilation."""
