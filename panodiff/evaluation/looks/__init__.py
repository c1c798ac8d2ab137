"""What a reader would notice in single images: measurements, what tells them from real ones, how alike they are."""
