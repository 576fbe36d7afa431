"""Child processes: started, watched, limited, stopped."""
