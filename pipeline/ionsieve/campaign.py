"""What the user asks: a campaign composes the rooms' own settings models."""
