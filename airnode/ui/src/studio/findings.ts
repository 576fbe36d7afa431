import type { StreamInfo } from "../api/types.ts";
import type { Key } from "../i18n/index.ts";
import type { Advice, Metric } from "./advice.ts";

/** The figure that a finding of the examiner is about, and its sentence (airnode/media/samples/findings.py). */
const SENTENCES: Partial<Record<string, [Metric, Key]>> = {
  empty: ["frame_rate", "finding.empty"],
  empty_nal: ["frame_rate", "finding.empty_nal"],
  stray_bytes: ["frame_rate", "finding.stray_bytes"],
  invalid_nal: ["frame_rate", "finding.invalid_nal"],
  cut_slices: ["frame_rate", "finding.cut_slices"],
  cut_frame: ["frame_rate", "finding.cut_frame"],
  reference_lost: ["frame_rate", "finding.reference_lost"],
  too_many_units: ["frame_rate", "finding.too_many_units"],
  annexb: ["frame_rate", "finding.annexb"],
  length_size: ["frame_rate", "finding.length_size"],
  config_as_frame: ["frame_rate", "finding.config_as_frame"],
  config_repaired: ["frame_rate", "finding.config_repaired"],
  config_in_band: ["frame_rate", "finding.config_in_band"],
  config_invalid: ["frame_rate", "finding.config_invalid"],
  no_config: ["frame_rate", "finding.no_config"],
  headers_apart: ["frame_rate", "finding.headers_apart"],
  no_picture: ["frame_rate", "finding.no_picture"],
  picture_split: ["frame_rate", "finding.picture_split"],
  picture_part_lost: ["frame_rate", "finding.picture_part_lost"],
  key_not_marked: ["key_frames", "finding.key_not_marked"],
  key_mark_wrong: ["key_frames", "finding.key_mark_wrong"],
  codec_changed: ["resolution", "finding.codec_changed"],
  leading_pictures: ["key_frames", "finding.leading_pictures"],
  open_gop: ["key_frames", "finding.open_gop"],
  intra_refresh: ["key_frames", "finding.intra_refresh"],
  invalid_audio: ["sound", "finding.invalid_audio"],
  adts: ["sound", "finding.adts"],
  latm: ["sound", "finding.latm"],
  channels_wrong: ["sound", "finding.channels_wrong"],
  sound_waits: ["sound", "finding.sound_waits"],
  clock_stuck: ["frame_rate", "finding.clock_stuck"],
  clock_jumps: ["frame_rate", "finding.clock_jumps"],
  clock_speed: ["frame_rate", "finding.clock_speed"],
  composition_offset: ["frame_rate", "finding.composition_offset"],
  video_codec: ["resolution", "finding.video_codec"],
  audio_codec: ["sound", "finding.audio_codec"],
  extra_track: ["sound", "finding.extra_track"],
  unplayable_codec: ["resolution", "unplayable.codec"],
  unplayable_no_config: ["resolution", "unplayable.no_config"],
  unplayable_no_key_frame: ["key_frames", "unplayable.no_key_frame"],
  unplayable_invalid: ["resolution", "unplayable.invalid"],
  unplayable_only_sound: ["sound", "unplayable.only_sound"],
  unplayable_no_frames: ["bitrate", "unplayable.no_frames"],
  unplayable_no_media: ["bitrate", "unplayable.no_media"],
};

/** Return advice on what the server found odd in the encoder's samples in the last minute. */
export function findings({ findings: found }: StreamInfo): Advice[] {
  return found.flatMap(({ code, fields, level }): Advice[] => {
    const sentence = SENTENCES[code];
    return sentence ? [{ metric: sentence[0], grade: level === "critical" ? "bad" : "warn", key: sentence[1], params: fields ?? {} }] : [];
  });
}
