"""Plans as pictures: Mermaid and DOT for other programs to draw, SVG drawn here."""
