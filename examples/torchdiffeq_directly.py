"""The training field of a GAN is a plain function f(t, y): here torchdiffeq integrates it, without ``odeint_gan``."""

import torch
from torchdiffeq import odeint

import odegan
from odegan.nets import MLP

torch.manual_seed(0)
game = odegan.gan(generator=MLP((8, 16, 2)), discriminator=MLP((2, 16, 1)))
batch = odegan.Batch(torch.nn.functional.normalize(torch.randn(128, 2)), torch.randn(128, 8))  # points on a circle
field = odegan.vector_field(game, penalties=[odegan.penalties.generator_gradient(0.05)])

y0 = game.init()
t = torch.linspace(0, 10, 6)
with torch.no_grad():
    ys = odeint(lambda t, y: field(t, y, batch), y0, t, method="dopri5", rtol=1e-4, atol=1e-6)

for time, y in zip(t, ys, strict=True):
    disc, gen = game.losses(y, batch)
    print(f"t = {time:4.1f}: loss of D {disc:.4f}, of G {gen:.4f}")
