//! Layers and every plug-in module of the CNN literature.
