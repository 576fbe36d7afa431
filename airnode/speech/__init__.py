"""What is said in audio: decoding, pieces, engines, formats. No HTTP and no Redis here."""
