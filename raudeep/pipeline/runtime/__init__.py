"""Ray itself: started or joined, streamed through, its metrics; and the line of progress."""
