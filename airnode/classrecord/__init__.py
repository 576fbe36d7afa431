"""The record of classes: who attended, what was said and asked; read by the teacher, kept for a time, forgotten."""
