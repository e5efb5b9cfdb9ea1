"""A GAN on handwritten digits in plain PyTorch, with an optimizer for each player.

replace_optimizers_ode.py is this same loop with one ODE solver in the optimizers' place: compare the two files.
"""

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


optimizers = [torch.optim.Adam(m.parameters(), lr=1e-3, betas=(0.5, 0.999)) for m in (discriminator, generator)]

for epoch in range(4):
    for real in loader:
        latent = torch.randn(len(real), 16)
        for optimizer, loss in zip(optimizers, (disc_loss, gen_loss), strict=True):
            optimizer.zero_grad()
            loss(real, latent).backward()
            optimizer.step()
    print(f"epoch {epoch}: loss of D {disc_loss(real, latent):.3f}, of G {gen_loss(real, latent):.3f}")

samples = generator(torch.randn(100, 16))
print("samples:", tuple(samples.shape))
