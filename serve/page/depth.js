/** Which depth belongs to which picture, by their names as `eagleray score --depth` pairs them. */

const TIFF = /\.tiff?$/i;
const DEPTH_PNG = /_depth\.png$/;
const RANGE = /_info_depth\.yaml$/;
const LIGHT = /^(.+)_image_5$/;
const NO_PICTURE = /_(image_[0-4]|normals|mask)\.png$/;
const YAML = /\.ya?ml$/i;

export const isRange = ({ name }) => RANGE.test(name);

/** What an item lacks to be scored with its depth, in a line; empty where it lacks nothing. */
export function missing({ name, depth, range }) {
  const [, scene] = LIGHT.exec(stemOf(name)) ?? [];
  const wanted = scene ? `${scene}_depth.png` : `${stemOf(name)}.tiff`;
  if (!depth) return `No depth came with it: choose it together with ${wanted}.`;
  if (!DEPTH_PNG.test(depth.name) || range) return "";
  return `Its depth came without ${depth.name.replace(DEPTH_PNG, "_info_depth.yaml")}: choose all three files together.`;
}

/**
 * The pictures among [{file, name}], each as {file, name, depth, range}, depth and range being files or null.
 * NNN.png goes with NNN.tiff, NNN_image_5.png with NNN_depth.png and NNN_info_depth.yaml; of several of that name,
 * with the one in its folder or in a folder beside it, as rgb/ and xyz/ are.
 */
export function withDepth(files) {
  const depths = files.filter(({ name }) => TIFF.test(name) || DEPTH_PNG.test(name));
  const ranges = files.filter(isRange);
  const others = new Set([...depths, ...files.filter(({ name }) => YAML.test(name))]);
  const scenes = new Set(depths.map(({ name }) => name.replace(DEPTH_PNG, "")));
  const isPicture = ({ name }) => !(NO_PICTURE.test(name) && scenes.has(name.replace(NO_PICTURE, "")));
  const pictures = files.filter((one) => !others.has(one) && isPicture(one));
  if (pictures.length === 1 && depths.length === 1) return [joined(pictures[0], depths[0], ranges)];
  return pictures.map((picture) => joined(picture, depthOf(picture, depths), ranges));
}

function depthOf(picture, depths) {
  const stem = stemOf(picture.name);
  const stems = [stem, LIGHT.exec(stem)?.[1]];
  const found = depths.filter(({ name }) => stems.includes(stemOf(name).replace(/_depth$/, "")));
  return found.length > 1 ? found.find((depth) => isBeside(depth, picture)) : found[0];
}

function joined(picture, depth, ranges) {
  const name = depth?.name.replace(DEPTH_PNG, "_info_depth.yaml");
  const range = ranges.find((one) => one.name === name);
  return { ...picture, depth: depth?.file ?? null, range: range?.file ?? null };
}

const folderOf = (name) => name.split("/").slice(0, -1).join("/");
const stemOf = (name) => name.split("/").at(-1).replace(/\.[^.]*$/, "");

function isBeside(one, other) {
  const [first, second] = [one, other].map(({ name }) => folderOf(name));
  return first === second || folderOf(first) === folderOf(second);
}
