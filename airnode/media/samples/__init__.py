"""What publishers send is examined here, sample by sample, before it reaches the packager."""
