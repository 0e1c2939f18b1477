"""Decode a batch of images for every task: prompt, decode, interpret; each step is a timed phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from bench.data.transforms import Prepared, stack_images
from bench.inference.clock import Clock, Times, stopwatch
from bench.inference.network_calls import BatchCalls, CountedNetwork
from bench.seeding import random_stream
from decoders.base import Decoder, Request
from decoders.network.network import Network
from tasks.base import Task
from tasks.formats.sequence import Encoded, stack_prompts
from tasks.targets import Context, Targets


@dataclass
class PipelineOutput:
    """Predictions, tokens, times and work of one image.

    Args:
        predictions: task to prediction.
        tokens: task to tokens (N, L).
        times: of its batch, per image.
        calls: network calls of its batch; None without a network.
        work: task to (network evaluations, positions, sequences).
    """

    predictions: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, Tensor] = field(default_factory=dict)
    times: Times = field(default_factory=Times)
    calls: BatchCalls | None = None
    work: dict[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class PipelineInput:
    """One image and its annotations.

    Args:
        image_id: seeds the image's random choices.
        image: decoded RGB image.
        targets: annotations; only strategies that need the ground truth see them.
    """

    image_id: int
    image: Any
    targets: Targets


class Pipeline:
    """Runs one decoder.

    Args:
        decoder: the strategy.
        tasks: each after those that it depends on.
        transform: image to network input.
        network: the shared network, or None for a strategy that needs none.
        device: where the network computes.
        precision: of its matrix products: ``float32`` or ``bfloat16``.
        prompter: strategy for the tasks that prompt others; default: the decoder itself.
        fill: id that pads prompts of images with fewer sequences.
        seed: every image has its own random stream of this seed, so batches and resumed runs change nothing.
        placeholder_predictions: task to a function from an image's size to what later tasks get in place of its
            prediction; it gives networks with random weights a load.
    """

    def __init__(
        self,
        *,
        decoder: Decoder,
        tasks: Sequence[Task],
        transform: Callable[[Any], Prepared],
        fill: int,
        seed: int,
        network: Network | None = None,
        prompter: Decoder | None = None,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        placeholder_predictions: Mapping[str, Callable[[tuple[int, int]], Any]] | None = None,
    ) -> None:
        self.decoder = decoder
        self.prompter = prompter or decoder
        self.tasks = tasks
        self.transform = transform
        self.fill = fill
        self.seed = seed
        self.network = network
        self.device = torch.device(device)
        self.precision = precision
        self.placeholder_predictions = placeholder_predictions or {}
        self._prompting = {earlier for task in tasks for earlier in task.after}
        self._watch = stopwatch(self.device)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[PipelineInput]) -> list[PipelineOutput]:
        """Return the outputs of a batch, whose images share one kind of annotation and, equally, its time."""
        truths = self._truths(inputs)
        clock = Clock(self._watch, share=len(inputs))
        outputs = [PipelineOutput() for _ in inputs]
        with clock.phase("preprocess"):
            images, pad = self._pixels(inputs)
        with self._autocast():
            memory = self._encode(images, pad, clock)
            calls = BatchCalls((images.shape[2], images.shape[3]), len(inputs), len(inputs))
            for task in self.tasks:
                if task.annotated(inputs[0].targets):
                    counted = None if self.network is None else CountedNetwork(self.network, clock.mark)
                    self._decode(task, counted, memory, inputs, outputs, truths=truths.get(task.name), clock=clock)
                    if counted is not None and counted.counts.passes:
                        calls.tasks[task.name] = counted.counts
        times = clock.times()
        for output in outputs:
            output.times, output.calls = times, None if self.network is None else calls
        return outputs

    def _strategy(self, task: Task) -> Decoder:
        return self.prompter if task.name in self._prompting else self.decoder

    def _truths(self, inputs: Sequence[PipelineInput]) -> dict[str, list[Encoded]]:
        """Return the annotations as tokens, of the tasks whose strategy reads them; their encoding is not timed."""
        return {
            task.name: [task.encode(image.targets) for image in inputs]
            for task in self.tasks
            if self._strategy(task).needs_truth and task.annotated(inputs[0].targets)
        }

    def _pixels(self, inputs: Sequence[PipelineInput]) -> tuple[Tensor, Tensor | None]:
        """Return the network's input (B, 3, height, width) and where it is padded; empty without a network."""
        if self.network is None:
            return torch.zeros(len(inputs), 3, 0, 0), None
        images, pad = stack_images([self.transform(image.image) for image in inputs])
        return images.to(self.device), None if pad is None else pad.to(self.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _encode(self, images: Tensor, pad: Tensor | None, clock: Clock) -> Any:
        if self.network is None:
            return None
        with clock.phase("backbone"):
            features = self.network.backbone_features(images, pad)
        with clock.phase("encoder"):
            memory = self.network.project_memory(self.network.encode(features))
            del features  # freeing memory takes time too
        return memory

    def _decode(
        self,
        task: Task,
        network: Any,
        memory: Any,
        inputs: Sequence[PipelineInput],
        outputs: list[PipelineOutput],
        *,
        truths: list[Encoded] | None,
        clock: Clock,
    ) -> None:
        decoder = self._strategy(task)
        with clock.phase(f"decode.{task.name}"):
            contexts = [
                Context(size=i.targets.size, earlier=o.predictions) for i, o in zip(inputs, outputs, strict=True)
            ]
            prompts = [task.prompt(context) for context in contexts]
            request = self._request(task, prompts, contexts, truths)
            generators = [random_stream(self.seed, image.image_id, task.name) for image in inputs]
            decoded = decoder.decode(network, memory, request, generators)
            decoded = replace(decoded, tokens=decoded.tokens.cpu(), probabilities=decoded.probabilities.float().cpu())
        with clock.phase(f"interpret.{task.name}"):
            per_image = [decoded.image(row, len(prompt)) for row, prompt in enumerate(prompts)]
            for filled, context, output in zip(per_image, contexts, outputs, strict=True):
                output.predictions[task.name] = task.interpret(filled, context)
        for filled, context, output in zip(per_image, contexts, outputs, strict=True):
            output.tokens[task.name] = filled.tokens
            output.work[task.name] = (decoded.evaluations, decoded.positions // len(inputs), len(filled.tokens))
            if task.name in self.placeholder_predictions:
                output.predictions[task.name] = self.placeholder_predictions[task.name](context.size)

    def _request(
        self, task: Task, prompts: Sequence[torch.Tensor], contexts: Sequence[Context], truths: list[Encoded] | None
    ) -> Request:
        stacked, valid = stack_prompts(prompts, self.fill)
        truth = None
        if truths is not None:
            rows = [encoded.rows(task.target_rows(c)).tokens for encoded, c in zip(truths, contexts, strict=True)]
            legal = int(task.format.ids[0])  # rows that pad the batch hold some id of the task's vocabulary
            truth, _ = stack_prompts(rows, legal)
        return Request(format=task.format, prompts=stacked.to(self.device), valid=valid.to(self.device), truth=truth)
