"""The loop of replace_optimizers.py with an ODE solver, Heun's method, in place of its two optimizers."""

import torch
from torch.nn.functional import softplus

import odegan.data
import odegan.nets

torch.manual_seed(0)
images, labels = odegan.data.load_digits()
loader = torch.utils.data.DataLoader(images, batch_size=64, shuffle=True, drop_last=True)
generator = odegan.nets.digits.Generator(latent=16)
discriminator = odegan.nets.digits.Discriminator()


def disc_loss(real, latent):
    return (softplus(-discriminator(real)) + softplus(discriminator(generator(latent)))).mean()


def gen_loss(real, latent):
    return softplus(-discriminator(generator(latent))).mean()


stepper = odegan.Stepper(odegan.gan(generator, discriminator, "non_saturating"), solver="heun2", step_size=0.3)
state = stepper.init(stepper.game.init())

for epoch in range(4):
    for real in loader:
        latent = torch.randn(len(real), 16)
        state, info = stepper.step(state, (real, latent))
    generator, discriminator = stepper.game.modules(state.y)
    print(f"epoch {epoch}: loss of D {disc_loss(real, latent):.3f}, of G {gen_loss(real, latent):.3f}")

samples = generator(torch.randn(100, 16))
print("samples:", tuple(samples.shape))
