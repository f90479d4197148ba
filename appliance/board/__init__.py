"""What is known of the board: its files, identity, firmware and the software's target."""
