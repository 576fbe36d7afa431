import type { PublishAddress } from "../api/types.ts";

/** Return an ffmpeg command that publishes a file at its own speed, without B-frames and with a key frame each second. */
export function ffmpegCommand(rtmpUrl: string): string {
  return [
    "ffmpeg -re -stream_loop -1 -i lesson.mp4",
    "-c:v libx264 -preset veryfast -tune zerolatency -b:v 2500k -maxrate 2500k -bufsize 2500k",
    "-r 30 -g 30 -pix_fmt yuv420p -c:a aac -b:a 128k -ar 48000",
    `-f flv ${shellQuoted(rtmpUrl)}`,
  ].join(" \\\n  ");
}

/** Return the same command with the stream key hidden, for a screen that others see. */
export function maskedCommand({ rtmp_url, stream_key }: PublishAddress): string {
  const key = /[?&]key=([^&]*)/.exec(rtmp_url)?.[1] || /key=([^&]*)/.exec(stream_key)?.[1] || stream_key;
  return ffmpegCommand(rtmp_url.split(key).join("••••"));
}

function shellQuoted(text: string): string {
  return /^[\w.:/@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
