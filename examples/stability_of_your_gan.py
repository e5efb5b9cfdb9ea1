# %% [markdown]
# # The stability of your own GAN
#
# Put your modules and your data into the first cell. The rest asks: does the training rotate or attract, how large a step
# does each solver allow, and is the answer true?

# %%
import torch

import odegan
from odegan import plots
from odegan.nets import MLP

torch.manual_seed(0)
data = torch.nn.functional.normalize(torch.randn(2000, 2))
game = odegan.gan(generator=MLP((4, 12, 12, 2)), discriminator=MLP((2, 12, 12, 1)))
penalties = [odegan.penalties.generator_gradient(0.05)]

# %% [markdown]
# ## Train a while
#
# With a small step, so that what we look at is the field and not the solver.

# %%
setting = {"data": data, "batch_size": 64, "penalties": penalties, "on_nonfinite": "stop"}
run = odegan.odeint_gan(game, game.init(seed=0), torch.linspace(0, 40, 3), solver="heun2", step_size=0.2, **setting)
print(run)

# %% [markdown]
# ## Eigenvalues along the run
#
# The Jacobian of the field, on one large minibatch, in double precision. With `k` only the largest eigenvalues are
# computed, matrix-free; leave `k` out for all of them and for the conditioning factor. A real part below zero attracts, an
# imaginary part rotates. The phase factor is the largest ratio of the two.

# %%
batch = odegan.Batch(data[:512].double(), torch.randn(512, 4).double())
ys = run.ys.double()
found = odegan.spectra(game, ys, [batch] * len(ys), penalties=penalties, k=6)
for time, eig in zip(run.ts, found, strict=True):
    real = eig.eigenvalues.real
    imaginary = eig.eigenvalues.imag
    print(
        f"t = {time:4.1f}: fastest attraction {-real.min():6.3f}, fastest rotation {imaginary.max():6.3f}, "
        f"phase factor at least {eig.phase_factor:.3g}"
    )

# %% [markdown]
# The field's norm along the run, as a figure: it grows by large factors where a step is too large.

# %%
plots.curves({"heun2": (run.stats["t"], run.stats["field_norm"])}, "t", "norm of the field", log=True)

# %% [markdown]
# ## The advice
#
# For each solver the largest step at which every damped mode stays damped, and what a unit of time costs there.

# %%
solvers = ["euler", "heun2", "rk4"]
advice = odegan.advise(game, ys[-1], batch, penalties, solvers=solvers, k=6)
print(advice)

# %% [markdown]
# ## Is it true?
#
# Go on from the end of the run with multiples of the advised step, and compare the field's norm. It should stay where it was
# below the step, and grow well above it. Linear theory is no more than that: see the page on the advisor for how far it
# carries.

# %%
largest = {}
for multiple in (0.5, 1.0, 4.0):
    step_size = multiple * advice["heun2"].step
    t = torch.tensor([0.0, 20.0])
    more = odegan.odeint_gan(game, run.y, t, solver="heun2", step_size=step_size, seed=1, **setting)
    largest[multiple] = float(more.stats["field_norm"].nan_to_num(torch.inf).max())
    print(f"{multiple} x the advised step: {more.status}, largest field norm {largest[multiple]:.3g}")

# %% [markdown]
# ## What a penalty changes
#
# The spectrum is that of the field with its penalties, so they can be compared before any training.

# %%
others = {
    "none": [],
    "generator gradient": penalties,
    "JARE": [odegan.penalties.jare(1.0)],
    "R1": [odegan.penalties.r1(1.0)],
}
for name, penalties in others.items():
    row = odegan.advise(game, ys[-1], batch, penalties, solvers=["heun2"], k=6)["heun2"]
    print(f"{name}: largest step of Heun's method {row.step:.3g}")

grew = largest[4.0] / largest[0.5]
print(f"verdict: the field at 4 x the advised step is {grew:.3g} times that at half of it")
