// SPDX-License-Identifier: Apache-2.0 OR MIT
// Buttons that show the picture elsewhere: above other windows, or on another screen. Each is hidden where the browser cannot.

import { button, label } from './button.ts';
import type { Player } from './player.ts';

/** What Safari has of its own. */
type SafariVideo = HTMLVideoElement & {
  webkitSupportsPresentationMode?: (mode: string) => boolean;
  webkitSetPresentationMode?: (mode: string) => void;
  webkitPresentationMode?: string;
  webkitShowPlaybackTargetPicker?: () => void;
};

export function pictureInPicture(video: SafariVideo, signal: AbortSignal): HTMLButtonElement {
  const element = button('picture', 'Picture in picture', () => void toggle());
  element.dataset['elsewhere'] = 'picture';
  const standard = 'pictureInPictureEnabled' in document && document.pictureInPictureEnabled;
  const safari = video.webkitSupportsPresentationMode?.('picture-in-picture') === true;
  element.hidden = !standard && !safari;
  const inside = () => document.pictureInPictureElement === video || video.webkitPresentationMode === 'picture-in-picture';
  const toggle = async () => {
    try {
      if (!standard) video.webkitSetPresentationMode?.(inside() ? 'inline' : 'picture-in-picture');
      else if (inside()) await document.exitPictureInPicture();
      else await video.requestPictureInPicture();
    } catch {
      // Before the first picture there is nothing to show.
    }
  };
  const show = () => label(element, inside() ? 'unpicture' : 'picture', inside() ? 'Leave picture in picture' : 'Picture in picture');
  for (const name of ['enterpictureinpicture', 'leavepictureinpicture', 'webkitpresentationmodechanged']) {
    video.addEventListener(name, show, { signal });
  }
  return element;
}

/** AirPlay, in Safari, once there is a screen to play on. */
export function airPlay(video: SafariVideo, player: Player, signal: AbortSignal): HTMLButtonElement {
  const element = button('airplay', 'AirPlay', () => {
    // Another screen fetches the playlist itself, so it needs the browser's own player.
    player.useNative();
    video.webkitShowPlaybackTargetPicker?.();
  });
  element.dataset['elsewhere'] = 'airplay';
  element.hidden = true;
  video.addEventListener(
    'webkitplaybacktargetavailabilitychanged',
    (event) => (element.hidden = (event as Event & { availability?: string }).availability !== 'available'),
    { signal },
  );
  return element;
}
