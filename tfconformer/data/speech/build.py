"""Building a planned corpus: chapters in parallel, then manifests, then a check for leaks between subsets."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from tqdm import tqdm

from tfconformer import atomic
from tfconformer.data import librispeech
from tfconformer.data.manifest import read_manifest
from tfconformer.data.speech import chapters, partition, synthesis
from tfconformer.data.speech.chapters import Chapter, SyntheticChapter
from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.data.speech.plan import Plan
from tfconformer.errors import InputError
from tfconformer.worker_processes import worker_pool

logger = logging.getLogger(__name__)

_NOTICE = """This folder holds the documentation of the Debian package {name} {version}.
The speech in the folders beside it was made from that package's files: single lines were taken out, decoded, resampled
to 16 kHz and scaled in level. It is a MODIFIED VERSION of that work, under the same licence.
"""


def build(plan: Plan, output: str | Path, encoding: str = "flac", jobs: int = 2) -> list[Path]:
    """Builds or completes a corpus.

    An interrupted build continues with the first missing chapter. The result is a function of the plan and of the
    installed versions of the synthesis engines.

    Args:
      plan: the chapters and their packages.
      output: corpus folder, which receives a folder per subset, `manifests/`, and `SOURCES/` with the licence texts.
      encoding: "flac" or "ogg".
      jobs: number of processes, at least 1.

    Returns:
      The manifests, one per subset in the folder.

    Raises:
      InputError: a synthesis engine is missing, or the folder holds other speech that leaks between subsets.
    """
    output = Path(output)
    synthesis.require([chapter.voice.voice for chapter in plan.chapters if isinstance(chapter, SyntheticChapter)])
    _write_sources(output / "SOURCES", plan.packages)
    _make(output, plan.chapters, encoding, jobs)
    manifests = librispeech.write_manifests(output, output / "manifests")
    leaks = partition.leaks({manifest.stem: read_manifest(manifest) for manifest in manifests})
    if leaks:
        raise InputError(f"{output} mixes training and test data, build into an empty folder: {'; '.join(leaks)}")
    return manifests


def _make(output: Path, plan: Sequence[Chapter], encoding: str, jobs: int) -> None:
    todo = [chapter for chapter in plan if not chapters.is_done(output, chapter, encoding)]
    logger.info("%d of %d chapters are already there", len(plan) - len(todo), len(plan))
    if not todo:
        return
    with worker_pool(jobs) as pool:
        futures = [pool.submit(chapters.write, output, chapter, encoding) for chapter in todo]
        try:
            for future in tqdm(as_completed(futures), total=len(futures), desc="speech", unit="chapter"):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_sources(folder: Path, packages: Iterable[DebianPackage]) -> None:
    """Copies the readme and licence texts of the packages, as the games' licences demand."""
    for package in packages:
        shutil.copytree(package.documentation, folder / package.name, dirs_exist_ok=True)
        notice = _NOTICE.format(name=package.name, version=package.version)
        atomic.write_text(folder / package.name / "NOTICE.txt", notice)
