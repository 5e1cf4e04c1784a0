"""Command line."""

from training.publish import main

if __name__ == "__main__":
    main()
