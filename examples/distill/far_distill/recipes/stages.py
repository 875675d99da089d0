"""The models of a recipe, one made from another; what a folder has already is not made again."""

import dataclasses
import pathlib

from .. import models
from ..distill import Joint, train_blocks, train_joint
from ..loop import Run, Settings
from ..replace import replace
from ..source import Source


class Stages:
    """Trains a recipe's models into a folder; `quick` for one epoch each."""

    def __init__(self, folder: pathlib.Path, source: Source, quick: bool, seed: int):
        self.folder, self.source, self.run = folder, source, Run(folder)
        self._quick, self._seed = quick, seed

    def settings(self, of: Settings) -> Settings:
        return dataclasses.replace(of, seed=self._seed, epochs=1 if self._quick else of.epochs)

    def made(self, name: str, make):
        """The folder's model of that name, which `make` gives where there is none yet."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            models.save(make(), path)
        return models.load(str(path))

    def blocks(self, teacher, of: Settings):
        """The teacher's copy with all blocks replaced, each trained alone."""

        def make():
            model = replace(models.copy(teacher), "parallel")
            train_blocks(model, teacher, self.source, self.settings(of), self.run)
            return model

        return self.made("blocks", make)

    def joint(self, name: str, start, teacher, of: Settings, joint: Joint, masks=None):
        """A copy of `start`, trained as a whole; `teacher` may be its answers."""

        def make():
            model = models.copy(start)
            train_joint(name, model, teacher, self.source, self.settings(of), self.run, joint, masks)
            return model

        return self.made(name, make)
