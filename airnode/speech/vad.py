"""Where somebody speaks: the Silero model that faster-whisper ships, in streaming form. Blocking; slow to import."""

import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Samples of one step, at 16 kHz: 32 ms.
STEP_SAMPLES: Final = 512
STEP_S: Final = STEP_SAMPLES / 16_000
_CONTEXT_SAMPLES: Final = 64
#: Speech begins at this probability, and ends below the other one.
SPEECH_FROM: Final = 0.5
SILENCE_BELOW: Final = 0.35


def model_file() -> Path:
    """Return the file of the model. Raises ModuleNotFoundError: the extra ``stt`` is not installed."""
    found = importlib.util.find_spec("faster_whisper")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("faster_whisper", name="faster_whisper")
    return Path(found.origin).parent / "assets" / "silero_vad_v6.onnx"


class SpeechDetector:
    """Says for each 32 ms of one audio how likely it is that somebody speaks. Not thread-safe."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(
            str(model_file()), providers=["CPUExecutionProvider"], sess_options=options
        )
        self.reset()

    def reset(self) -> None:
        """Begin another audio."""
        self._h = np.zeros((1, 1, 128), dtype=np.float32)
        self._c = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, dtype=np.float32)

    def probabilities(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return one probability for each step of the next samples, whose number is a multiple of ``STEP_SAMPLES``."""
        audio = samples.astype(np.float32) / 32768.0
        if not audio.size:
            return np.zeros(0, dtype=np.float32)
        steps = audio.reshape(-1, STEP_SAMPLES)
        before = np.vstack([self._context, steps[:-1, -_CONTEXT_SAMPLES:]])
        self._context = steps[-1, -_CONTEXT_SAMPLES:].copy()
        given = {"input": np.concatenate([before, steps], axis=1), "h": self._h, "c": self._c}
        found, self._h, self._c = self._session.run(None, given)
        return np.asarray(found, dtype=np.float32).reshape(-1)


def speaking(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for each step whether somebody speaks: from ``SPEECH_FROM`` on until below ``SILENCE_BELOW``."""
    result = np.zeros(len(probabilities), dtype=np.bool_)
    speaks = False
    for step, probability in enumerate(probabilities.tolist()):
        speaks = probability >= (SILENCE_BELOW if speaks else SPEECH_FROM)
        result[step] = speaks
    return result
