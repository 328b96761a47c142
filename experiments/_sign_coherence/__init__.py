"""Parts of the experiment on when a unit's weights move together."""
