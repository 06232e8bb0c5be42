// The theme loads a script of this name on every page: 1.5 MB that draw its icons as SVG. Its style
// sheet draws the same icons with a font of a tenth of that, so this file takes the script's place.
