"""Training-shaped reading: data sets as programs of machine learning keep them, and their ways of reading.

sets.py          the files of each shape
reads.py         how a worker reads one piece of a data set; standard library only, but for safetensors
epoch.py         an epoch by worker processes, as PyTorch's DataLoader shares the work
torch_epoch.py   the same epoch by PyTorch's DataLoader itself: the only module that imports torch
source_epoch.py  the same epoch from the source of a bucket, without a mount
programs.py      runs these as programs of their own
mlperf.py        accelerators that a rate of samples feeds
"""
