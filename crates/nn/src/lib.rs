//! Layers for 2D and 3D segmentation that candle lacks.
