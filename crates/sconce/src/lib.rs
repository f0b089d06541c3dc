//! Medical image segmentation on candle: the whole toolbox.
