"""SentencePiece BPE models encoded by native code, to the same ids."""
