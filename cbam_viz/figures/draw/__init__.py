"""Layouts and what they are drawn of: pictures, bars, headings, marks, colour bars."""
