"""What camera hardware needs: sessions, buffers' rows, colours, stamps."""
