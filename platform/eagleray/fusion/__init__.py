"""Search over the fusion of colour and depth (3D-ADNAS), and the anomalies it learns from."""
