"""Writing shards by an Apache Beam pipeline: on several processes, or on the machines of a Flink or Dataflow cluster.

Each shard is one element, written by the code of the local command, so the bytes are the same. Manifests, audio files
and the folder of the shards must have the same paths on all workers, as on a shared file system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tfconformer.data.shards import ShardJob, ShardRunner, write_shard
from tfconformer.errors import InputError, one_line

_NAMESPACE = "shards"


def beam_runner(runner: str, arguments: Sequence[str] = ()) -> ShardRunner:
    """Returns a function that writes shards by a Beam pipeline.

    Args:
      runner: name of the runner, such as "DirectRunner", "FlinkRunner" or "DataflowRunner".
      arguments: further options of the pipeline, such as "--direct_num_workers=2".

    Raises:
      InputError: apache-beam is not installed; from the function, that the pipeline failed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError(f"--runner needs apache-beam: pip install 'tfconformer[dataflow]' ({error})") from None

    def run(jobs: Sequence[ShardJob]) -> Counter[str]:
        if not jobs:
            return Counter()
        try:
            pipeline = beam.Pipeline(options=PipelineOptions([f"--runner={runner}", *arguments]))
            # Reshuffled, since a runner would fuse the source with the work and do all on one worker.
            pipeline | beam.Create(list(jobs)) | beam.Reshuffle() | beam.Map(_write)
            result = pipeline.run()
            result.wait_until_finish()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"the pipeline on {runner} failed ({one_line(error)[-500:]})") from error
        counters = result.metrics().query()["counters"]
        return Counter({one.key.metric.name: one.result for one in counters if one.key.metric.namespace == _NAMESPACE})

    return run


def _write(job: ShardJob) -> None:
    from apache_beam.metrics import Metrics

    for remark, count in write_shard(job).items():
        Metrics.counter(_NAMESPACE, remark).inc(count)
