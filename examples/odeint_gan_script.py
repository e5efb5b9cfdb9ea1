"""A GAN in ten lines: points on the unit circle, trained by integrating the ODE of the game."""

import torch

import odegan
from odegan.nets import MLP

circle = torch.nn.functional.normalize(torch.randn(2000, 2))
game = odegan.gan(generator=MLP((8, 32, 32, 2)), discriminator=MLP((2, 32, 32, 1)))
penalty = odegan.penalties.generator_gradient(0.05)
how = {"data": circle, "batch_size": 128, "solver": "heun2", "step_size": 0.25}
solution = odegan.odeint_gan(game, game.init(seed=0), [0, 150], penalties=[penalty], **how)
radius = game.sample(solution.y, 1000).norm(dim=1)
print(f"{solution}\nradius of the samples: {radius.mean():.2f} ± {radius.std():.2f}")
