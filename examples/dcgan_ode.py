"""The script of dcgan.py with an ODE solver, Heun's method, in place of its two optimizers."""

import torch
from torch import nn

import odegan.data

nz = 16
ngf = 16
ndf = 16
batch_size = 64
num_epochs = 2
torch.manual_seed(0)
images, labels = odegan.data.load_digits()
dataloader = torch.utils.data.DataLoader(images, batch_size=batch_size, shuffle=True, drop_last=True)


def weights_init(m):
    if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


netG = nn.Sequential(
    nn.ConvTranspose2d(nz, 2 * ngf, 2, bias=False),
    nn.BatchNorm2d(2 * ngf),
    nn.ReLU(),
    nn.ConvTranspose2d(2 * ngf, ngf, 4, 2, 1, bias=False),
    nn.BatchNorm2d(ngf),
    nn.ReLU(),
    nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
)
netD = nn.Sequential(
    nn.Conv2d(1, ndf, 4, 2, 1, bias=False),
    nn.LeakyReLU(0.2),
    nn.Conv2d(ndf, 2 * ndf, 4, 2, 1, bias=False),
    nn.BatchNorm2d(2 * ndf),
    nn.LeakyReLU(0.2),
    nn.Conv2d(2 * ndf, 1, 2, bias=False),
    nn.Flatten(0),
)
netG.apply(weights_init)
netD.apply(weights_init)
fixed_noise = torch.randn(64, nz, 1, 1)

penalty = odegan.penalties.generator_gradient(0.02)
stepper = odegan.ModuleStepper(netG, netD, "non_saturating", solver="heun2", step_size=0.1, penalties=[penalty])

for epoch in range(num_epochs):
    for i, real in enumerate(dataloader):
        noise = torch.randn(len(real), nz, 1, 1)
        errD, errG = stepper.step(real, noise).losses
        if i % 10 == 0:
            print(f"[{epoch}/{num_epochs}][{i}/{len(dataloader)}] Loss_D: {errD.item():.4f} Loss_G: {errG.item():.4f}")
    torch.save({"netG": netG.state_dict(), "netD": netD.state_dict()}, f"epoch_{epoch}.pth")

netG.eval()
with torch.no_grad():
    samples = netG(fixed_noise)
print("samples:", tuple(samples.shape))
