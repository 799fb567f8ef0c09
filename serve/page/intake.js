/** Files come in: dropped anywhere, chosen, as a folder, or pasted. */

const PICTURE = /\.(png|jpe?g|bmp|gif|tiff?|webp)$/i;

export const isPicture = ({ file, name }) => file.type.startsWith("image/") || PICTURE.test(name);

/** `onFiles` gets [{file, name}]; of folders, those that `isWanted`. */
export function listenForFiles(onFiles, { isWanted }) {
  for (const id of ["files", "folder"]) {
    const input = document.getElementById(id);
    input.addEventListener("change", () => {
      const found = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
      input.value = ""; // so that the same file can be chosen again
      onFiles(id === "folder" ? found.filter(isWanted) : found);
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    onFiles(files.map((file) => ({ file, name: file.name })));
  });
  listenForDrops(onFiles, isWanted);
}

function listenForDrops(onFiles, isWanted) {
  const veil = document.getElementById("drop");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
  });
  // A drag leaves the window where it enters nothing else.
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) veil.hidden = true; });
  document.addEventListener("drop", async (event) => {
    veil.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    onFiles(await droppedFiles(event.dataTransfer, isWanted));
  });
}

/** Files of a drop, with those in dropped folders. The items must be read before the first await: they expire. */
async function droppedFiles(transfer, isWanted) {
  const loose = [];
  const folders = [];
  for (const item of transfer.items) {
    if (item.kind !== "file") continue;
    const entry = item.webkitGetAsEntry();
    if (entry?.isDirectory) folders.push(entry);
    else loose.push(item.getAsFile());
  }
  const inside = await Promise.all(folders.map(filesIn));
  return [...loose.map((file) => ({ file, name: file.name })), ...inside.flat().filter(isWanted)];
}

async function filesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    // A reader hands out at most 100 entries a call, then none.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const entry of entries) found.push(...(entry.isDirectory ? await filesIn(entry) : [await fileOf(entry)]));
  }
}

function fileOf(entry) {
  return new Promise((resolve, reject) => {
    entry.file((file) => resolve({ file, name: entry.fullPath.replace(/^\//, "") }), reject);
  });
}
