"""What a plan is: tasks, links, constellations, devices, events. Pure values and one graph; nothing here waits."""
