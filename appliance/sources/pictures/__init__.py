"""Pictures that are decoded, drawn, or carry the time in their pixels."""
