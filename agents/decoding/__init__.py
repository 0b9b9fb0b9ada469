"""Decoding without hallucination: training-free decoders that contrast views of an image.

``decoder = make_decoder("vcd", strength=1.0)``, then ``model.generate(**inputs, custom_generate=decoder)``.
"""

from fogline.agents.decoding.registry import DECODERS, make_decoder

__all__ = ["DECODERS", "make_decoder"]
