"""A GAN in ten lines: points on the unit circle, trained by integrating the ODE of the game."""

import torch

import odegan
from odegan.nets import MLP

circle = torch.nn.functional.normalize(torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)))
game = odegan.gan(generator=MLP((8, 32, 32, 2)), discriminator=MLP((2, 32, 32, 1)))
setting = {"data": circle, "batch_size": 128, "penalties": [odegan.penalties.generator_gradient(0.05)]}
solution = odegan.odeint_gan(game, game.init(seed=0), [0, 50, 100, 150], solver="heun2", step_size=0.25, **setting)
print(solution)
for t, radius in zip(solution.ts, game.sample(solution.ys, 1000).norm(dim=-1), strict=True):
    print(f"t = {t:5.1f}: radius of the samples {radius.mean():.2f} ± {radius.std():.2f}")
