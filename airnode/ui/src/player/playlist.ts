/** How long a media playlist is, in seconds. */
export function playlistLengthS(text: string): number {
  return [...text.matchAll(/^#EXTINF:([\d.]+)/gm)].reduce((sum, [, duration]) => sum + Number(duration), 0);
}
