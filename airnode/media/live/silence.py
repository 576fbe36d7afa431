"""Frames of silence, which fill holes in the audio of ``live.mp4``."""

from airnode.media.frames import AudioConfig


def silence(config: AudioConfig) -> bytes | None:
    """Return a silent frame of ``samples_per_frame`` samples; None: airnode has none for this configuration."""
    return silent_opus(config) if config.codec == "opus" else silent_aac(config)


def silent_opus(config: AudioConfig) -> bytes | None:
    """Return an Opus packet of one CELT frame with the silence flag (RFC 6716 3.1, 4.3); None for more than 20 ms."""
    mode = {120: 28, 240: 29, 480: 30, 960: 31}.get(config.samples_per_frame)
    return bytes((mode << 3, 0xFF, 0xFE)) if mode is not None else None


def silent_aac(config: AudioConfig) -> bytes | None:
    """Return an AAC-LC raw_data_block without spectral data (ISO 14496-3 4.4.2.1); None for more than two channels."""
    # global_gain, ics_reserved_bit, window_sequence, window_shape, max_sfb, predictor, pulse, TNS, gain control.
    channel = "00000000" + "0" + "00" + "0" + "000000" + "0" + "0" + "0" + "0"
    elements = {1: "000" + "0000" + channel, 2: "001" + "0000" + "0" + channel * 2}
    element = elements.get(config.channels)
    if element is None or not config.codecs.startswith("mp4a.40."):
        return None
    bits = element + "111"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
