"""What pages with pictures share: style, words, curves as SVG."""
