# %% [markdown]
# # Quick start
#
# Points on the unit circle, learned by a GAN whose training is integrated as an ODE. Run this file as a script, or open
# it as a notebook (its cells are in the percent format, which Jupytext, VS Code and PyCharm read).

# %%
import torch

import odegan
from odegan import plots
from odegan.nets import MLP

torch.manual_seed(0)
circle = torch.nn.functional.normalize(torch.randn(2000, 2))

# %% [markdown]
# ## The game
#
# Two ordinary modules become a game. Its state is one flat tensor `y = [theta_D, theta_G]`; the modules themselves are
# never changed. A seed draws a fresh initialization.

# %%
game = odegan.gan(generator=MLP((4, 16, 16, 2)), discriminator=MLP((2, 16, 16, 1)), loss="non_saturating")
y0 = game.init(seed=0)
print(f"{game.n_disc} + {game.n_gen} = {len(y0)} parameters")

# %% [markdown]
# ## The run
#
# `t` are the times to report, as in torchdiffeq. Heun's method takes two evaluations of the field a step. The penalty is
# ODE-GAN's, on the generator's gradient.

# %%
setting = {
    "data": circle,
    "batch_size": 64,
    "penalties": [odegan.penalties.generator_gradient(0.05)],
    "seed": 0,
}
t = torch.linspace(0, 60, 4)
heun = odegan.odeint_gan(game, y0, t, solver="heun2", step_size=0.2, **setting)
print(heun)
for time, y in zip(heun.ts, heun.ys, strict=True):
    radius = game.sample(y, 1000).norm(dim=1)
    print(f"t = {time:4.1f}: radius of the samples {radius.mean():.2f} ± {radius.std():.2f}")

# %% [markdown]
# ## Another solver
#
# The solver is a string. An adaptive one chooses its own steps, and wants to know how long a minibatch is kept.

# %%
dopri5 = odegan.odeint_gan(game, y0, t[:2], solver="dopri5", refresh=0.5, rtol=1e-3, **setting)
for name, solution in {"heun2": heun, "dopri5": dopri5}.items():
    print(f"{name}: {solution.stats['nfe'] / float(solution.ts[-1]):.1f} evaluations a unit of time")

# %% [markdown]
# ## Statistics and figures
#
# `stats` holds losses, field norms and step sizes of every step. A figure that ends a cell is shown; `plots.save` writes it.

# %%
series = {name: (heun.stats["t"], heun.stats["losses"][:, i]) for i, name in enumerate(("discriminator", "generator"))}
plots.curves(series, "t", "loss")

# %% [markdown]
# ## The trained modules
#
# They are new ones, and plain PyTorch from here on.

# %%
generator, discriminator = game.modules(heun.y)
samples = generator(torch.randn(5, 4))
print("samples:", tuple(samples.shape))
