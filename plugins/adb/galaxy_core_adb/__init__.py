"""The transport of Galaxy for Android devices behind adb, and a simulated phone."""
