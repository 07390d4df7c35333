"""The settings of a mount.

values.py     the settings of one mount, each with its origin
merge.py      where they come from, and which of them wins
options/      every setting, declared once              properties.py  properties as they are written
units.py      sizes and times                           secrets.py     settings that nothing shows
document.py   docs/CONFIGURATION.md                     limits.py      what a container may use
sdk.py        mount options of Alluxio's FUSE SDK
"""
