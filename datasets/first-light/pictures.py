"""Draw the pictures of this folder again: ``python datasets/first-light/pictures.py``."""

from pathlib import Path

from storage.backend import Link
from workbench import trace, view
from workbench.replay import Settings, Workload, calibrate, grid

HERE = Path(__file__).parent
DPI = 110

data = trace.dataset("first-light")
run = view.Run("recorded", data.events, data.reads)
touched = view.touched(data.events, len(data.image.chunks))
settings = Settings(cpu=calibrate(data.events), link=Link())
frame = grid(Workload.from_reads(data.reads, data.image), data.image, settings)

for name, picture in {
    "layout": view.blob_map(data.image, touched=touched),
    "chunks": view.heat_map(run, data.image),
    "grid": view.grid(frame),
}.items():
    (HERE / f"{name}.png").write_bytes(picture.png(DPI))
