"""The loop: every stage in turn, saved as it goes, resumed where it was."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from schemas.asks import TEXT_PLACE
from workers.model import TinyGPTV
from workers.model.config import pocket
from workers.model.manifest import Origin, digest_file
from workers.model.prompts import (
    END_OF_ANSWER,
    HUMAN_TEMPLATE,
    INSTRUCTION_TEMPLATE,
    QUESTION_PLACE,
    GenerationSettings,
    quoted,
)
from workers.tasks import hateful
from workers.training import texts
from workers.training.average import MovingAverage
from workers.training.batches import Batch, Corpus
from workers.training.dialogue import Turn, answer_loss
from workers.training.folder import Identity, Progress, State, TrainingFolder
from workers.training.lora import add_lora, merge_lora
from workers.training.memes import grammar, is_unkind
from workers.training.pretrained_stem import imagenet_file, imagenet_weights, load_imagenet
from workers.training.stages import STAGES, Stage, learning_rate, parameter_groups, stem_of
from workers.training.vocabulary import end_of_answer_id, train_tokenizer

WEIGHT_DECAY = 0.05
GRADIENT_NORM = 1.0
LORA_RANK = 32
LORA_ALPHA = 16
SECOND_QUESTION = 0.9
"""Share of the pictures of which, in a stage of many tasks, a second thing is asked."""
ABOUT_TAGS = 0.7
"""Share of those second questions that are about tags."""
STEPS_BETWEEN_SAVES = 125
STEPS_BETWEEN_LINES = 25


class Learner(nn.Module):
    """The network and two heads that name the concept, which are thrown away after training."""

    def __init__(self, model: TinyGPTV, concepts: int) -> None:
        super().__init__()
        self.model = model
        self.vision_head = nn.Linear(model.config.vision.hidden_size, concepts)
        self.query_head = nn.Linear(model.config.language.hidden_size, concepts)

    def losses(self, batch: Batch, turns: list[Turn], memes: list[Turn]) -> dict[str, torch.Tensor]:
        """Cross-entropies: the answers, and the concept as the ViT and as the queries tell it.

        Those about memes count apart: each is one word among thousands of the captions'.
        """
        model = self.model
        seen = model.vision_model(batch.pixels).last_hidden_state
        embeds = model.embed_seen(seen)
        judged = {"memes": answer_loss(model, embeds, memes)} if memes else {}
        return judged | {
            "answers": answer_loss(model, embeds, turns),
            "vision": functional.cross_entropy(
                self.vision_head(seen.mean(1)).float(), batch.concepts
            ),
            "queries": functional.cross_entropy(
                self.query_head(embeds.mean(1)).float(), batch.concepts
            ),
        }


def new_model(corpus: Corpus, seed: int) -> TinyGPTV:
    """A pocket network with ImageNet's stem, everything else drawn from `seed`."""
    torch.manual_seed(seed)
    config = pocket()
    tokenizer = train_tokenizer(_sentences(corpus, seed), config.language.vocab_size)
    settings = GenerationSettings(
        prompt_template=INSTRUCTION_TEMPLATE,
        caption_question=texts.CAPTION_QUESTION,
        eos_token_ids=(end_of_answer_id(tokenizer), config.language.eos_token_id),
    )
    model = TinyGPTV(config, tokenizer, settings)
    _initialize(model)
    for part in (model.vision_model, model.qformer, model.language_model):
        part.set_attn_implementation("eager")  # faster than sdpa's backward at these lengths
    load_imagenet(stem_of(model), imagenet_weights())
    model.origin = Origin(
        sources={"stem": (digest_file(imagenet_file()),), "corpus": (corpus.account,)},
        training={"seed": seed},
    )
    stem_of(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


@torch.no_grad()
def _initialize(model: TinyGPTV) -> None:
    """Unit variance everywhere, which the usual 0.02 gives only at widths of thousands.

    The RMSNorm behind each attention writes with unit variance from the first step on; embeddings
    smaller than that would drown in the residual stream.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
    nn.init.normal_(model.query_tokens)


class Trainer:
    """Trains the pocket checkpoint in `folder`; goes on where an interrupted trainer was.

    Raises:
        UsageError: the training in `folder` has another seed, corpus, list of stages or tokenizer.
    """

    def __init__(self, corpus: Corpus, folder: Path, seed: int, device: str) -> None:
        self.corpus = corpus
        self.seed = seed
        self.device = device
        model = new_model(corpus, seed)
        self.learner = Learner(model, len(corpus.labels)).to(device)
        self.everyone = list(corpus.texts())
        tokenizer = model.tokenizer.backend_tokenizer.to_str()
        identity = Identity(seed, corpus.account.sha256, repr(STAGES), tokenizer)
        self._folder = TrainingFolder(folder, identity)
        self._average: MovingAverage | None = None
        self._progress, self._optimizer_state = self._resume()

    def run(self) -> TinyGPTV:
        """Every stage that is not done yet; returns the trained network in eval mode."""
        progress = self._progress
        for index in range(progress.stage, len(STAGES)):
            first = progress.step if index == progress.stage else 0
            self._run_stage(index, first, self._optimizer_state if first else None)
        return self.learner.model.eval()

    def _run_stage(self, index: int, first: int, optimizer_state: dict[str, Any] | None) -> None:
        stage = STAGES[index]
        model = self.learner.model
        attentions = [layer.self_attn for layer in model.language_model.model.layers]
        if stage.lora and not first:
            torch.manual_seed(self.seed)
            add_lora(attentions, LORA_RANK, LORA_ALPHA)
        groups = parameter_groups(model, stage)
        heads = [*self.learner.vision_head.parameters(), *self.learner.query_head.parameters()]
        optimizer = torch.optim.AdamW(
            [*groups, {"params": heads, "rate": 1.0}],
            weight_decay=WEIGHT_DECAY,
            betas=(0.9, 0.98),
            fused=True,
        )
        if optimizer_state:
            optimizer.load_state_dict(optimizer_state)
        if stage.averaged and not first:
            self._average = MovingAverage(self.learner)
        self.learner.train()
        started = time.monotonic()
        for step, batch in self._batches(stage, first):
            losses = self._step(stage, step, batch, optimizer)
            if self._average:
                self._average.update(self.learner, step)
            if (step + 1) % STEPS_BETWEEN_LINES == 0 or step + 1 == stage.steps:
                self._report(index, step + 1, losses, (step + 1 - first), started)
            if (step + 1) % STEPS_BETWEEN_SAVES == 0 and step + 1 < stage.steps:
                self._save(Progress(index, step + 1), optimizer)
        if stage.lora:
            merge_lora(attentions)
        if self._average:
            self.learner.load_state_dict(self._average.state)
            self._average = None
        self._save(Progress(index + 1, 0), None)

    def _batches(self, stage: Stage, first: int) -> Iterator[tuple[int, Batch]]:
        """The stage's batches from step `first` on, each made while the one before is learnt."""
        config = self.learner.model.config

        def prepare(step: int) -> Batch:
            key = self._key(stage, step)
            return self.corpus.batch(
                stage.shape, config.image_size, config.image_mean, config.image_std, key
            )

        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead = pool.submit(prepare, first)
            for step in range(first, stage.steps):
                batch = ahead.result()
                if step + 1 < stage.steps:
                    ahead = pool.submit(prepare, step + 1)
                yield step, batch

    def _key(self, stage: Stage, step: int) -> str:
        return f"{self.seed}/{stage.name}/{step}"

    def _step(
        self, stage: Stage, step: int, batch: Batch, optimizer: torch.optim.Optimizer
    ) -> dict[str, float]:
        batch = dataclasses.replace(
            batch, pixels=batch.pixels.to(self.device), concepts=batch.concepts.to(self.device)
        )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, step) * group["rate"]
        dice = random.Random(self._key(stage, step) + "/texts")
        turns = self._turns(stage, batch, dice)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            losses = self.learner.losses(batch, turns, _meme_turns(stage, batch, dice))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, GRADIENT_NORM)
        optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _turns(self, stage: Stage, batch: Batch, dice: random.Random) -> list[Turn]:
        turns = []
        for index, subject in enumerate(batch.subjects):
            question = stage.template and stage.template.replace(
                QUESTION_PLACE, texts.CAPTION_QUESTION
            )
            turns.append(Turn(index, question, texts.caption(subject)))
            if stage.many_tasks and stage.template and dice.random() < SECOND_QUESTION:
                asked, answer = (
                    texts.tag_exchange(subject, dice)
                    if dice.random() < ABOUT_TAGS
                    else texts.exchange(subject, self.everyone, dice)
                )
                turns.append(Turn(index, stage.template.replace(QUESTION_PLACE, asked), answer))
        return turns

    # --- what survives a kill ---

    def _resume(self) -> tuple[Progress, dict[str, Any] | None]:
        state = self._folder.load(self.device)
        if state is None:
            return Progress(), None
        progress = state.progress
        if progress.step and STAGES[progress.stage].lora:
            layers = self.learner.model.language_model.model.layers
            add_lora([layer.self_attn for layer in layers], LORA_RANK, LORA_ALPHA)
        self.learner.load_state_dict(state.learner)
        if state.average:
            self._average = MovingAverage(self.learner, state.average)
        return progress, state.optimizer

    def _save(self, progress: Progress, optimizer: torch.optim.Optimizer | None) -> None:
        optimizer_state = optimizer.state_dict() if optimizer else None
        average = self._average.state if self._average else None
        self._folder.save(State(progress, self.learner.state_dict(), optimizer_state, average))

    def _report(
        self, index: int, step: int, losses: dict[str, float], done: int, started: float
    ) -> None:
        stage = STAGES[index]
        seconds = (time.monotonic() - started) / done
        line = {"stage": stage.name, "step": step, "seconds_a_step": round(seconds, 3)}
        self._folder.record(line | {name: round(loss, 4) for name, loss in losses.items()})
        steps_left = sum(later.steps for later in STAGES[index:]) - step
        left = steps_left * seconds / 60
        told = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        print(f"{stage.name} {step}/{stage.steps}  {told}  {left:.0f} min left", flush=True)


def _meme_turns(stage: Stage, batch: Batch, dice: random.Random) -> list[Turn]:
    """Every text stands over both pictures of a pair, and every picture under both kinds of text:
    of one alone nothing can be told."""
    if stage.template is None:
        return []
    turns = []
    for pair in batch.pairs:
        for picture, valence in zip(pair, ("nice", "nasty"), strict=True):
            prompt = stage.template.replace(QUESTION_PLACE, texts.VALENCE_QUESTION)
            turns.append(Turn(picture, prompt, valence))
        for likens in (True, False):
            prompt = stage.template.replace(QUESTION_PLACE, hateful.QUESTION)
            prompt = prompt.replace(TEXT_PLACE, quoted(grammar("train").text(likens, dice)))
            for nasty, picture in enumerate(pair):
                answer = "yes" if is_unkind(bool(nasty), likens) else "no"
                turns.append(Turn(picture, prompt, answer))
    return turns


def _sentences(corpus: Corpus, seed: int) -> list[str]:
    """What the tokenizer learns from: each subject's captions, tags and a few exchanges."""
    dice = random.Random(seed)
    everyone = list(corpus.texts())
    sentences = []
    for subject in everyone:
        sentences += [texts.caption(subject), texts.tags(subject) + END_OF_ANSWER]
        question, answer = texts.exchange(subject, everyone, dice)
        template = dice.choice((HUMAN_TEMPLATE, INSTRUCTION_TEMPLATE))
        sentences.append(template.replace(QUESTION_PLACE, question) + answer + END_OF_ANSWER)
    return sentences
