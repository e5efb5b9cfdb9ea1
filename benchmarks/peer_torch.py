"""PyTorch written by hand: ODE-GAN's step with torch.autograd.grad, eager and compiled, and the usual alternating Adam."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import networks, problems
from benchmarks.handwritten import HandWritten, loop
from benchmarks.worker import Task
from odegan import nets


def mog16(steps: int, compile: str = "", weight: float = problems.WEIGHT, device: str = "cpu") -> Task:
    """The step of ``handwritten.py``; compile: the whole step by torch.compile, with its gradients."""
    problem = problems.Mog16(*(torch.from_numpy(a).to(device) for a in problems.mog16()))
    peer = HandWritten(*(module.to(device) for module in nets.mog16()), "rk4_classic", problems.STEP_SIZE, weight)
    if compile:
        torch._dynamo.config.trace_autograd_ops = True  # else torch.autograd.grad breaks the graph
        peer.step = torch.compile(peer.step, dynamic=False, fullgraph=True, backend=compile)  # type: ignore[method-assign]

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.randint(len(problem.data), (problems.BATCH,), device=device)
        return problem.data[rows], torch.randn(problems.BATCH, problems.LATENT, device=device)

    def outcome() -> torch.Tensor:
        parameters = [*peer.disc, *peer.gen]
        torch.nn.utils.vector_to_parameters(problem.y0.clone(), parameters)
        peer.step([(problem.real, problem.latent)])
        return torch.nn.utils.parameters_to_vector(parameters).detach()

    return Task(lambda: loop(peer, draw, steps), steps, outcome)


class AlternatingAdam:
    """The usual loop: D's step on real and generated samples, then G's against the new D, whose weights are frozen in it. The
    generated samples are made once for both.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, rate: float, eps: float = 1e-8) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.gen = torch.optim.Adam(generator.parameters(), rate, networks.BETAS, eps)
        self.disc = torch.optim.Adam(discriminator.parameters(), rate, networks.BETAS, eps)

    def step(self, real: torch.Tensor, latent: torch.Tensor) -> None:
        """One step of each player."""
        fake = self.generator(latent)
        critic = self.discriminator
        self.disc.zero_grad()
        (F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()).backward()
        self.disc.step()
        critic.requires_grad_(False)
        self.gen.zero_grad()
        F.softplus(-critic(fake)).mean().backward()
        self.gen.step()
        critic.requires_grad_(True)


def training(case: str, steps: int, batch: int = 64, device: str = "cpu") -> Task:
    """Alternating Adam on a pair of networks by name; a unit is one step of both players."""
    data, real, latent = networks.samples(case, batch, device)
    adam = AlternatingAdam(*networks.pair(case, device), rate=2e-4)

    def work() -> None:
        for _ in range(steps):
            rows = torch.randint(len(data), (batch,), device=device)
            adam.step(data[rows], torch.randn(latent.shape, device=device))

    def outcome() -> torch.Tensor:
        pair = networks.pair(case, device)
        AlternatingAdam(*pair, networks.STEP_SIZES[case], networks.EPS_OF_CHECK).step(real, latent)
        return torch.nn.utils.parameters_to_vector([*pair[1].parameters(), *pair[0].parameters()]).detach()

    return Task(work, steps, outcome)


def by_hand(case: str, steps: int, solver: str, penalty: float, batch: int = 64, device: str = "cpu") -> Task:
    """The step of ``handwritten.py`` on a pair of networks by name; a unit is one step."""
    data, real, latent = networks.samples(case, batch, device)

    def peer() -> HandWritten:
        return HandWritten(*networks.pair(case, device), solver, networks.STEP_SIZES[case], penalty)

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.randint(len(data), (batch,), device=device)
        return data[rows], torch.randn(latent.shape, device=device)

    def outcome() -> torch.Tensor:
        one = peer()
        one.step([(real, latent)])
        return torch.nn.utils.parameters_to_vector([*one.disc, *one.gen]).detach()

    running = peer()
    return Task(lambda: loop(running, draw, steps), steps, outcome)


def products(n: int, times: int = 1) -> Task:
    """Matrix products (n, n) @ (n, n) in float32; a unit is one floating-point operation, of 2 n^3 a product."""
    a = torch.randn(n, n)
    b = torch.randn(n, n)

    def work() -> Any:
        for _ in range(times):
            torch.mm(a, b)

    return Task(work, 2.0 * n**3 * times)
