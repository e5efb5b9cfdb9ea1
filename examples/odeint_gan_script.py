"""A GAN in ten lines: points on the unit circle, trained by integrating the ODE of the game."""

import torch

import odegan
from odegan.nets import MLP

torch.manual_seed(0)
circle = torch.nn.functional.normalize(torch.randn(2000, 2))
game = odegan.gan(generator=MLP((8, 32, 32, 2)), discriminator=MLP((2, 32, 32, 1)), loss="non_saturating")
t = torch.linspace(0, 150, 4)
penalty = odegan.penalties.generator_gradient(0.05)
solution = odegan.odeint_gan(
    game, game.init(seed=0), t, data=circle, batch_size=128, solver="heun2", step_size=0.25, penalties=[penalty]
)
print(solution)
for time, y in zip(solution.ts, solution.ys, strict=True):
    radius = game.sample(y, 1000).norm(dim=1)
    print(f"t = {time:5.1f}: radius of the samples {radius.mean():.2f} ± {radius.std():.2f}")
