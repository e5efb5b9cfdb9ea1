"""An nn.Module as a pure function of one flat tensor of its parameters."""
