"""Tune a penalty's weight and the step size of a GAN on digits by gradient descent through its training.

The outer loss is the (squared) energy distance between 200 generated digits and 200 held-out real ones after a short training.
Its gradient passes through every step of that training. ``checkpoint_steps`` makes the graph again in pieces, so that a
thousand steps fit into memory too.
"""

import torch
from torch import cdist, nn

import odegan

STEPS = 40  # of each training
ROUNDS = 6  # of gradient descent on the logarithms of weight and step size

images = odegan.data.load_digits()[0].flatten(1)
train = images[:1400]
held_out = images[1400:1600]
torch.manual_seed(0)
# Smooth activations: with ReLU the loss jumps where a unit switches, and its gradient says nothing about jumps.
generator = nn.Sequential(nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 64), nn.Tanh())
discriminator = nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
game = odegan.gan(generator, discriminator)
y0 = game.init(seed=0)


def outer_loss(log_weight, log_step):
    """The distance of samples to held-out digits after training with these hyperparameters."""
    solution = odegan.odeint_gan(
        game,
        y0,
        steps=STEPS,
        data=train,
        batch_size=64,
        solver="heun2",
        step_size=log_step.exp(),
        penalties=[odegan.penalties.r1(log_weight.exp())],
        checkpoint_steps=8,
    )
    fake = game.sample(solution.y, 200, differentiable=True)
    return 2 * cdist(fake, held_out).mean() - cdist(fake, fake).mean() - cdist(held_out, held_out).mean()


tuned = [torch.tensor(0.0, requires_grad=True), torch.tensor(-2.3, requires_grad=True)]
optimizer = torch.optim.Adam(tuned, lr=0.3)
for number in range(ROUNDS):
    optimizer.zero_grad()
    loss = outer_loss(*tuned)
    loss.backward()
    weight, step = (float(one.detach().exp()) for one in tuned)
    print(f"round {number}: distance {loss.detach():.4f} with weight {weight:.3f} and step {step:.3f}")
    optimizer.step()
